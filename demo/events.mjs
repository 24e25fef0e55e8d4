// From a customer of the data set to the calls an app would make on its SDK: pure.

import { decimal } from './dataset.mjs'

const FIRST_NAMES = [
  'Ada', 'Alan', 'Barbara', 'Deniz', 'Edsger', 'Elif', 'Emre', 'Frances', 'Grace', 'Hedy', 'John',
  'Katherine', 'Ken', 'Leslie', 'Margaret', 'Murat', 'Niklaus', 'Selin', 'Tony',
]
const LAST_NAMES = [
  'Aksoy', 'Baker', 'Carter', 'Demir', 'Evans', 'Fischer', 'Garcia', 'Hughes', 'Ito', 'Jensen',
  'Kaya', 'Lopez', 'Moreau', 'Novak', 'Okafor', 'Petrov', 'Quinn', 'Rossi', 'Schmidt', 'Turner',
  'Usta', 'Vogel', 'Walker',
]
const MAX_MESSAGE_ID_LENGTH = 100

/**
 * The calls for one customer, in order: identify, then one track per purchase. Each is
 * { method, message } for `analytics[method](message)`.
 *
 * Message ids depend on the data set's name and the position in it alone, so that the same file
 * sent again is recognised; the data set's name keeps a generated history apart from the real one.
 */
export function callsFor({ id, purchases }, datasetName) {
  const [first] = purchases
  return [
    {
      method: 'identify',
      message: {
        messageId: messageId(datasetName, id, 'identify'),
        userId: id,
        timestamp: midnight(first.date),
        traits: {
          email: `customer-${id}@example.com`,
          ...nameFor(id),
          createdAt: midnight(first.date).toISOString(),
        },
      },
    },
    ...purchases.map((purchase, index) => orderCompleted(id, purchase, index + 1, datasetName)),
  ]
}

function orderCompleted(id, { date, quantity, cents }, number, datasetName) {
  const total = decimal(cents)
  return {
    method: 'track',
    message: {
      messageId: messageId(datasetName, id, `order-${number}`),
      userId: id,
      timestamp: noon(date), // the data has days only; noon stays that day in nearly every time zone
      event: 'Order Completed',
      properties: {
        order_id: `${id}-${number}`,
        total,
        revenue: total,
        currency: 'USD',
        products: [{ product_id: 'cd', quantity }], // no price: the data has the order's amount alone
      },
    },
  }
}

/**
 * Packs customers into batches of about `size` calls without ever splitting a customer: within one
 * request the order is kept, across two requests under way it is not. Only a customer with more
 * calls than that makes a larger batch.
 */
export function* batchesOf(customers, datasetName, size) {
  let batch = []
  for (const customer of customers) {
    const calls = callsFor(customer, datasetName)
    if (batch.length > 0 && batch.length + calls.length > size) {
      yield batch
      batch = []
    }
    batch.push(...calls)
  }
  if (batch.length > 0) yield batch
}

function messageId(...parts) {
  const id = parts.join('-')
  if (id.length >= MAX_MESSAGE_ID_LENGTH) throw new Error(`message id too long: ${id}`)
  return id
}

function nameFor(id) {
  const hash = fnv1a(id)
  return {
    firstName: FIRST_NAMES[hash % FIRST_NAMES.length],
    lastName: LAST_NAMES[hash % LAST_NAMES.length], // coprime lengths: all pairs occur
  }
}

function fnv1a(text) {
  let hash = 0x811c9dc5
  for (const char of text) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193) >>> 0
  return hash
}

function midnight(date) {
  return new Date(`${date}T00:00:00Z`)
}

function noon(date) {
  return new Date(`${date}T12:00:00Z`)
}
