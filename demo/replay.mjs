// Replays the purchase history into a running server.
//
//   node replay.mjs        (HOST, WRITE_KEY, DATASET, LIMIT, CLIENTS: see README.md)

import { loadDataset } from './dataset.mjs'
import { describe, replayAloud } from './sender.mjs'
import { readSettings } from './settings.mjs'

async function main() {
  const settings = readSettings()
  const dataset = loadDataset(settings)
  console.log(`Replaying ${describe(dataset)} to ${settings.host}`)
  const { ok } = await replayAloud(dataset, settings)
  return ok ? 0 : 1
}

main().then(
  (code) => {
    process.exitCode = code
  },
  (error) => {
    console.error(`✗ ${error.message}`)
    process.exitCode = 1
  },
)
