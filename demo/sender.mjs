// Sends the purchase history through the published Segment SDK, which knows nothing of this server
// but its host and a write key.

import { Analytics } from '@segment/analytics-node'
import { formatCents, totalsOf } from './dataset.mjs'
import { batchesOf } from './events.mjs'
import { count, ProgressBar } from './terminal.mjs'

// About 100 KB a request: far below the SDK's own 480 KB, where it would split a batch by itself.
const BATCH_EVENTS = 250
// Above every batch, so that a request leaves when this file says so and not in mid-customer.
const FLUSH_AT = 2_500
// A slow answer is not a lost one: asking again would only double the server's work.
const REQUEST_TIMEOUT_MS = 60_000
// About a minute of back-off: enough to survive the server's restart, not enough to look hung.
const MAX_RETRIES = 5

/**
 * Sends every customer of `dataset` and resolves when the server has accepted or refused the last
 * one: { sent, accepted, failed, reasons, requests, retried, seconds }. Never throws for a refusal;
 * the first failed batch ends the replay, so that a wrong key or a dead server shows at once.
 *
 * Each of `clients` SDK instances has one batch under way and waits for it before it takes the next:
 * that bounds the memory, and a customer's events never travel in two requests at the same time.
 */
export async function replay(dataset, { host, writeKey, clients }, onProgress = () => {}) {
  const result = { sent: 0, accepted: 0, failed: 0, reasons: new Map(), requests: 0, retried: 0, seconds: 0 }
  const batches = batchesOf(dataset.customers, dataset.name, BATCH_EVENTS)
  const startedAt = performance.now()

  async function sendBatches() {
    const analytics = connect({ host, writeKey }, result, onProgress)
    while (result.failed === 0) {
      const { value: calls, done } = batches.next()
      if (done) break
      for (const { method, message } of calls) analytics[method](message)
      result.sent += calls.length
      await analytics.flush()
      onProgress(result)
    }
    await analytics.closeAndFlush()
  }

  await Promise.all(Array.from({ length: clients }, sendBatches))
  result.seconds = (performance.now() - startedAt) / 1000
  return result
}

// Counts by listening, not by per-call callbacks: the SDK delays those by 300 ms.
function connect(address, result, onProgress) {
  const analytics = new Analytics({
    ...address,
    flushAt: FLUSH_AT,
    httpRequestTimeout: REQUEST_TIMEOUT_MS,
    maxRetries: MAX_RETRIES,
  })
  analytics.on('identify', () => result.accepted++)
  analytics.on('track', () => result.accepted++)
  analytics.on('error', ({ reason }) => {
    result.failed++
    const text = [reason?.message ?? String(reason), reason?.cause?.code].filter(Boolean).join(': ')
    result.reasons.set(text, (result.reasons.get(text) ?? 0) + 1)
  })
  analytics.on('http_request', ({ headers }) => {
    result.requests++
    if (!headers['X-Retry-Count']) return
    result.retried++
    onProgress(result)
  })
  return analytics
}

/** Replays with a progress bar and a summary; resolves to the result plus `ok`. */
export async function replayAloud(dataset, settings) {
  const totals = totalsOf(dataset.customers)
  const bar = new ProgressBar(totals.events, 'events')
  const result = await replay(dataset, settings, ({ accepted, retried }) =>
    bar.update(accepted, retried > 0 ? `${retried} retried` : ''),
  )
  bar.end()

  const ok = result.accepted === totals.events && result.failed === 0
  const replayed = [
    ['customers', count(totals.customers)],
    ['orders', count(totals.orders)],
    ['total', `${formatCents(totals.cents)} USD`],
  ]
  const lines = [
    ...(ok ? replayed : [['accepted', `${count(result.accepted)} of ${count(totals.events)} events`]]),
    ['elapsed', `${result.seconds.toFixed(1)} s`],
    ['rate', `${count(Math.round(result.accepted / result.seconds))} events/s`],
    ['requests', `${count(result.requests)}${result.retried > 0 ? `, ${count(result.retried)} of them again` : ''}`],
  ]
  for (const [name, value] of lines) console.log(`  ${name.padEnd(12)}${value}`)
  if (!ok) {
    for (const [reason, events] of result.reasons) console.error(`  ✗ ${count(events)} events not accepted: ${reason}`)
    console.error(`  ✗ ${count(totals.events - result.sent)} events not sent`)
  }
  return { ...result, ok }
}

/** One line that says what is sent, and that it is made up where it is. */
export function describe(dataset) {
  return dataset.generated ? 'a generated data set (the CDNOW file is not there)' : dataset.origin
}
