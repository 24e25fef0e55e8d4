// Sends one message of each type that @jitsu/js knows: node jitsu-node.mjs <host> <write key> <user>.
import jitsu from '@jitsu/js'

const [host, writeKey, userId] = process.argv.slice(2)
const analytics = jitsu.jitsuAnalytics({ host, writeKey, s2s: true, errorPolicy: 'rethrow' })

await analytics.identify(userId, { firstName: 'Ada', plan: 'gold' })
await analytics.track('Order Completed', { order_id: `order-${userId}`, total: 12.5, currency: 'EUR', products: [{ product_id: 'p1', quantity: 2, price: 6.25 }] })
await analytics.page('Home', { url: 'https://shop.example.com/' })
await analytics.group('acme', { name: 'Acme' })
await analytics.track('Left')
