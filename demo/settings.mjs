// The one place that reads the environment.

/** Reads the settings, or throws one error that names everything wrong with them. */
export function readSettings(env = process.env) {
  const problems = []
  const settings = {
    host: (env.HOST || 'http://localhost:8080').replace(/\/+$/, ''),
    writeKey: env.WRITE_KEY || 'dev-write-key',
    apiKey: env.API_KEY || 'dev-key',
    file: env.DATASET || undefined,
    limit: positive('LIMIT', undefined),
    clients: positive('CLIENTS', 4),
    waitSeconds: positive('WAIT_SECONDS', 300),
    once: env.ONCE === '1',
  }
  if (!/^https?:\/\//.test(settings.host) || !URL.canParse(settings.host)) {
    problems.push(`HOST: want an http(s) address, got "${settings.host}"`)
  }
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return settings

  function positive(name, fallback) {
    if (!env[name]) return fallback
    const number = Number(env[name])
    if (!Number.isSafeInteger(number) || number < 1) problems.push(`${name}: want a positive integer, got "${env[name]}"`)
    return number
  }
}
