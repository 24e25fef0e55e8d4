// What a shop's page does with @jitsu/js, bundled from npm or as the script p.js of its host; the test calls window.shop.
import { jitsuAnalytics } from '@jitsu/js'

const scripted = (writeKey, host) => new Promise((resolve, reject) => {
  const script = document.createElement('script')
  script.src = `${host}/p.js`
  script.dataset.writeKey = writeKey
  script.dataset.initOnly = 'true' // the page view is sent below
  script.onload = () => resolve(window.jitsu)
  script.onerror = () => reject(new Error('no p.js'))
  document.head.append(script)
})

window.shop = {
  async load(writeKey, host, snippet) {
    window.analytics = snippet ? await scripted(writeKey, host) : jitsuAnalytics({ writeKey, host, errorPolicy: 'rethrow' })
    await window.analytics.page('Home')
    return 'ready'
  },
  identify: (id) => window.analytics.identify(id, { plan: 'gold' }).then(() => 'sent'),
  track: (event) => window.analytics.track(event, { from: 'page' }).then(() => 'sent'),
  group: (id) => window.analytics.group(id, { name: 'Acme' }).then(() => 'sent'),
}
