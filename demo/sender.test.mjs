// The published SDK against a server that only listens.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'

const sender = await import('./sender.mjs').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
})
const skip = sender ? false : 'needs the SDK: npm ci'

const DATASET = {
  name: 'test',
  customers: Array.from({ length: 300 }, (_, index) => ({
    id: String(index),
    purchases: Array.from({ length: 1 + (index % 5) }, () => ({ date: '1997-01-01', quantity: 1, cents: 1177 })),
  })),
}
const EVENTS = 300 + 60 * (1 + 2 + 3 + 4 + 5)

/** Starts a server that answers what `answer(number of the request)` says; stops it with the test. */
async function listen(t, answer) {
  const seen = { bodies: [], headers: [], underWay: 0, mostUnderWay: 0 }
  const server = createServer(async (request, response) => {
    seen.mostUnderWay = Math.max(seen.mostUnderWay, ++seen.underWay)
    let body = ''
    for await (const chunk of request) body += chunk
    seen.headers.push({ path: request.url, ...request.headers })
    const { status = 200, headers = {} } = answer(seen.headers.length)
    if (status === 200) seen.bodies.push(JSON.parse(body))
    seen.underWay--
    response.writeHead(status, headers).end('{"success":true}')
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { seen, settings: { host: `http://127.0.0.1:${server.address().port}`, writeKey: 'key', clients: 3 } }
}

test('everything arrives once, each customer in order and in one request', { skip }, async (t) => {
  const { seen, settings } = await listen(t, () => ({}))
  const result = await sender.replay(DATASET, settings)

  assert.equal(result.accepted, EVENTS)
  assert.equal(result.failed, 0)
  assert.ok(seen.mostUnderWay <= 3, `${seen.mostUnderWay} requests under way`)
  assert.equal(seen.headers[0].path, '/v1/batch')
  assert.equal(seen.headers[0].authorization, `Basic ${Buffer.from('key:').toString('base64')}`)

  const ids = seen.bodies.flatMap(({ batch }) => batch.map(({ messageId }) => messageId))
  assert.equal(new Set(ids).size, EVENTS)
  for (const { batch } of seen.bodies) {
    for (const [index, { type, userId }] of batch.entries()) {
      assert.equal(type === 'identify', batch[index - 1]?.userId !== userId)
    }
  }
})

test('a busy server is asked again and nothing is lost', { skip }, async (t) => {
  const { settings } = await listen(t, (number) => (number === 2 ? { status: 429, headers: { 'retry-after': '1' } } : {}))
  const result = await sender.replay(DATASET, settings)
  assert.deepEqual([result.accepted, result.failed, result.retried], [EVENTS, 0, 1])
})

test('a refused key ends the replay at once and says why', { skip }, async (t) => {
  const { seen, settings } = await listen(t, () => ({ status: 401 }))
  const result = await sender.replay(DATASET, settings)
  assert.equal(result.accepted, 0)
  assert.ok(result.failed > 0)
  assert.equal(result.failed, result.sent)
  assert.ok(result.sent < EVENTS)
  assert.equal(seen.headers.length, 3) // one a client, none again
  assert.deepEqual([...result.reasons.keys()], ['[401] Unauthorized'])
})
