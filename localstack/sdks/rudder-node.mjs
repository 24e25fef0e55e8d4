// Sends one message of each type through @rudderstack/rudder-sdk-node: node rudder-node.mjs <host> <write key> <user>.
import RudderAnalytics from '@rudderstack/rudder-sdk-node'

const [dataPlaneUrl, writeKey, userId] = process.argv.slice(2)
const analytics = new RudderAnalytics(writeKey, { dataPlaneUrl, flushAt: 3, flushInterval: 500 })

analytics.identify({ userId, traits: { firstName: 'Ada', plan: 'gold' } })
analytics.track({ userId, event: 'Order Completed', properties: { order_id: `order-${userId}`, total: 12.5, currency: 'EUR' } })
analytics.page({ userId, name: 'Home', properties: { url: 'https://shop.example.com/' } })
analytics.screen({ userId, name: 'Start' })
analytics.group({ userId, groupId: 'acme' })
analytics.alias({ userId, previousId: `visitor-${userId}` })
analytics.track({ userId, event: 'Left' })
const flush = () => new Promise((resolve, reject) => analytics.flush((error) => (error ? reject(error) : resolve())))
while (analytics.queue.length > 0) { // each flush sends one batch
  await flush()
}
await flush()
process.exit(0)
