// Bundles the pages' scripts into a folder: node bundle.mjs <folder>.
import { build } from 'esbuild'

await build({
  entryPoints: ['segment-browser.mjs', 'rudder-browser.mjs', 'jitsu-browser.mjs'].map((name) => new URL(name, import.meta.url).pathname),
  bundle: true, format: 'iife', target: 'es2020', outdir: process.argv[2], logLevel: 'warning', define: { 'process.env.NODE_ENV': '"production"' },
})
