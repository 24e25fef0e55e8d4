// What a shop's page does with @segment/analytics-next; the test calls window.shop.
import { AnalyticsBrowser } from '@segment/analytics-next'

window.shop = {
  load(writeKey, cdnURL, batching) {
    const deliveryStrategy = batching ? { strategy: 'batching', config: { size: 10, timeout: 60_000 } } : { strategy: 'standard' }
    window.analytics = AnalyticsBrowser.load({ writeKey, cdnURL }, { integrations: { 'Segment.io': { deliveryStrategy } } })
    window.analytics.page()
    return window.analytics.ready().then(() => 'ready')
  },
  identify: (id) => window.analytics.identify(id, { plan: 'gold' }).then(() => 'sent'),
  track: (event) => { window.analytics.track(event); return 'queued' },
}
