// What a shop's page does with @rudderstack/analytics-js; the test calls window.shop.
import { RudderAnalytics } from '@rudderstack/analytics-js/bundled'

window.shop = {
  load(writeKey, host, beacon) {
    const analytics = new RudderAnalytics()
    window.analytics = analytics
    const queueOptions = { minRetryDelay: 500, maxRetryDelay: 2000, backoffFactor: 2 }
    analytics.load(writeKey, host, beacon
      ? { configUrl: host, useBeacon: true, beaconQueueOptions: { flushQueueInterval: 600_000 } }
      : { configUrl: host, queueOptions })
    analytics.page()
    return new Promise((resolve) => analytics.ready(() => resolve('ready')))
  },
  identify: (id) => { window.analytics.identify(id, { plan: 'gold' }); return 'sent' },
  track: (event) => { window.analytics.track(event); return 'queued' },
}
