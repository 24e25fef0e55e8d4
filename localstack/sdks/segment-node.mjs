// Sends one message of each type through @segment/analytics-node: node segment-node.mjs <host> <write key> <user>.
import { Analytics } from '@segment/analytics-node'

const [host, writeKey, userId] = process.argv.slice(2)
const analytics = new Analytics({ host, writeKey, maxRetries: 5, flushAt: 5 })
const failures = []
analytics.on('error', (e) => failures.push(e))

analytics.identify({ userId, traits: { firstName: 'Ada', plan: 'gold' } })
analytics.track({ userId, event: 'Order Completed', properties: { order_id: `order-${userId}`, total: 12.5, currency: 'EUR', products: [{ product_id: 'p1', quantity: 2, price: 6.25 }] } })
analytics.page({ userId, name: 'Home', properties: { url: 'https://shop.example.com/' } })
analytics.screen({ userId, name: 'Start' })
analytics.group({ userId, groupId: 'acme' })
analytics.alias({ userId, previousId: `visitor-${userId}` })
analytics.track({ userId, event: 'Left' })
await analytics.closeAndFlush({ timeout: 30_000 })
if (failures.length > 0) {
  console.error(failures)
  process.exit(1)
}
