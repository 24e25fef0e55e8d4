// The demo: replays the purchase history, then lets the server prove that it lost nothing, counted
// nothing twice, and can derive its views again from its events.
//
//   make demo, or: node run.mjs        (settings: see README.md)

import { setTimeout as sleep } from 'node:timers/promises'
import { formatCents, loadDataset, totalsOf } from './dataset.mjs'
import { describe, replayAloud } from './sender.mjs'
import { readSettings } from './settings.mjs'
import { CheckList, count, ProgressBar } from './terminal.mjs'

const HEALTH_WAIT_MS = 30_000
const POLL_MS = 500
const REQUEST_TIMEOUT_MS = 30_000

async function main() {
  const settings = readSettings()
  const dataset = loadDataset(settings)
  const want = totalsOf(dataset.customers)
  const server = new Server(settings)
  const checks = new CheckList()

  console.log(`Defter demo: ${describe(dataset)} → ${settings.host}`)
  await server.healthy()
  try {
    await prove(server, dataset, want, checks, settings)
  } catch (error) {
    checks.check(false, 'the demo ran to its end', error.message) // what held until then is still shown
  }

  console.log(`\nChecks\n${checks}\n`)
  return checks.failed === 0 ? 0 : 1
}

// Ends early where what follows would mean nothing.
async function prove(server, dataset, want, checks, settings) {
  console.log('\nReplay')
  const first = await replayAloud(dataset, settings)
  if (!checks.check(first.ok, 'every event accepted', `${count(first.accepted)} of ${count(want.events)}`)) return

  console.log('\nViews catch up')
  const before = await server.caughtUp()
  console.log(`  ${lagText(before)}`)
  if (!checks.check(before.lag === 0, 'views caught up', lagText(before))) return
  checks.equal(before.customers, want.customers, 'customers')
  checks.equal(before.orders, want.orders, 'orders')
  checks.equal(lifetimeCents(before), want.cents, 'lifetime value', usd)
  if (checks.failed > 0) {
    console.log('  The counts differ. If the database held other data before, start from an empty one.')
  }

  if (!settings.once) {
    console.log('\nThe same events again')
    const second = await replayAloud(dataset, settings)
    const after = await server.caughtUp()
    console.log(`  views: ${lagText(after)}`)
    checks.check(second.ok, 'every event accepted again', `${count(second.accepted)} of ${count(want.events)}`)
    if (checks.check(after.lag === 0, 'views caught up again', lagText(after))) {
      checks.equal(after.events, before.events, 'events as before')
      checks.equal(lifetimeCents(after), want.cents, 'lifetime value as before', usd)
    }
  }

  console.log('\nRebuild the views from the events')
  const rebuilt = await server.rebuild()
  console.log(`  ${count(rebuilt.events)} events in ${rebuilt.seconds.toFixed(1)} s`)
  checks.equal(rebuilt.after.rows, rebuilt.before.rows, 'rows after the rebuild')
  // The server's own verdict is not enough: the digests must agree with it.
  const identical = rebuilt.identical === true && rebuilt.before.digest === rebuilt.after.digest
  const digests = [rebuilt.before.digest, rebuilt.after.digest].map((digest) => digest.slice(0, 12))
  checks.check(identical, 'rebuilt views identical', identical ? digests[0] : digests.join(' became '))
}

// All money in the data set is USD: an amount in another currency is a mistake, and shows as one.
function lifetimeCents({ lifetimeValue }) {
  if (lifetimeValue.length !== 1 || lifetimeValue[0].currency !== 'USD') return undefined
  return lifetimeValue[0].amountMinor
}

function usd(cents) {
  return `${formatCents(cents)} USD`
}

function lagText({ lag, seconds }) {
  return lag === 0 ? `within ${seconds.toFixed(1)} s` : `${count(lag)} events behind after ${seconds.toFixed(0)} s`
}

/** The server's local operator interface. */
class Server {
  #settings

  constructor(settings) {
    this.#settings = settings
  }

  /** Waits until the server answers at all. */
  async healthy() {
    const deadline = performance.now() + HEALTH_WAIT_MS
    for (let attempt = 1; ; attempt++) {
      const alive = await fetch(`${this.#settings.host}/healthz`, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
        .then((response) => response.ok, () => false)
      if (alive) return
      if (attempt === 2) console.log('  waiting for the server (start it with `make run`)')
      if (performance.now() > deadline) {
        throw new Error(`${this.#settings.host} does not answer: start the server with \`make run\``)
      }
      await sleep(POLL_MS)
    }
  }

  /**
   * Waits until the views have seen every event, at most `waitSeconds`; answers the last statistics
   * with the `seconds` it took. Two equal readings in a row count, as a lag of 0 may also be the
   * moment before the next event arrives.
   */
  async caughtUp() {
    const startedAt = performance.now()
    let previous, bar, behind
    for (;;) {
      const stats = await this.#call('GET', '/_local/stats', REQUEST_TIMEOUT_MS)
      const seconds = (performance.now() - startedAt) / 1000
      if (stats.lag > 0 && !bar) {
        behind = stats.lag
        bar = new ProgressBar(behind, 'events')
      }
      bar?.update(Math.max(0, behind - stats.lag))
      const settled = stats.lag === 0 && previous?.lag === 0 && stats.events === previous.events
      if (settled || seconds > this.#settings.waitSeconds) {
        bar?.end()
        return { ...stats, seconds }
      }
      previous = stats
      await sleep(POLL_MS)
    }
  }

  /** Throws the views away and folds them again from the events. */
  rebuild() {
    return this.#call('POST', '/_local/rebuild', this.#settings.waitSeconds * 1000)
  }

  async #call(method, path, timeoutMs) {
    let response
    try {
      response = await fetch(this.#settings.host + path, {
        method,
        headers: { Authorization: `Bearer ${this.#settings.apiKey}` },
        signal: AbortSignal.timeout(timeoutMs),
      })
    } catch (error) {
      throw new Error(`${method} ${path}: ${error.cause?.message || error.message}`)
    }
    const body = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${body.slice(0, 300)}`)
    return JSON.parse(body)
  }
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
