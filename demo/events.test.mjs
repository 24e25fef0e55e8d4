import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchesOf, callsFor } from './events.mjs'

const CUSTOMER = {
  id: '00002',
  purchases: [
    { date: '1997-01-12', quantity: 1, cents: 1200 },
    { date: '1997-02-03', quantity: 5, cents: 7701 },
  ],
}

test('a customer is an identify and then a track per purchase', () => {
  const [identify, ...orders] = callsFor(CUSTOMER, 'cdnow')

  assert.equal(identify.method, 'identify')
  const { firstName, lastName, ...traits } = identify.message.traits
  assert.deepEqual(traits, { email: 'customer-00002@example.com', createdAt: '1997-01-12T00:00:00.000Z' })
  assert.ok(firstName && lastName)
  assert.equal(identify.message.userId, '00002')
  assert.equal(identify.message.messageId, 'cdnow-00002-identify')

  assert.deepEqual(orders.map(({ method }) => method), ['track', 'track'])
  assert.deepEqual(JSON.parse(JSON.stringify(orders[1].message)), {
    messageId: 'cdnow-00002-order-2',
    userId: '00002',
    timestamp: '1997-02-03T12:00:00.000Z',
    event: 'Order Completed',
    properties: {
      order_id: '00002-2',
      total: 77.01,
      revenue: 77.01,
      currency: 'USD',
      products: [{ product_id: 'cd', quantity: 5 }],
    },
  })
})

test('sent again, the events are the same to the last byte', () => {
  assert.equal(JSON.stringify(callsFor(CUSTOMER, 'cdnow')), JSON.stringify(callsFor(CUSTOMER, 'cdnow')))
})

test('no two events share a message id, also across data sets', () => {
  const customers = [CUSTOMER, { ...CUSTOMER, id: '00003' }]
  const calls = ['cdnow', 'generated'].flatMap((name) => customers.flatMap((customer) => callsFor(customer, name)))
  const ids = calls.map(({ message }) => message.messageId)
  assert.equal(new Set(ids).size, 12)
})

test('a message id longer than the wire allows is refused here', () => {
  assert.throws(() => callsFor(CUSTOMER, 'x'.repeat(100)), /too long/)
})

test('batches hold whole customers and everything once', () => {
  const customers = [1, 3, 9, 2, 3].map((orders, index) => ({
    id: String(index),
    purchases: Array.from({ length: orders }, () => ({ date: '1997-01-01', quantity: 1, cents: 100 })),
  }))
  const batches = [...batchesOf(customers, 'test', 6)]
  // Customers of 2, 4, 10, 3 and 4 calls: the third alone is larger than a batch.
  assert.deepEqual(batches.map((batch) => batch.length), [6, 10, 3, 4])
  for (const batch of batches) {
    const ids = batch.map(({ message }) => message.userId)
    assert.equal(batch.filter(({ method }) => method === 'identify').length, new Set(ids).size)
  }
  assert.deepEqual([...batchesOf([], 'test', 6)], [])
})
