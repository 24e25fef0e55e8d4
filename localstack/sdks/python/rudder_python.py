"""Sends one message of each type through rudder-sdk-python: python rudder_python.py <host> <write key> <user>."""
import sys

import rudderstack.analytics as analytics

failures = []
host, write_key, user = sys.argv[1:]
analytics.dataPlaneUrl, analytics.write_key = host, write_key
analytics.on_error = lambda error, messages: failures.append(error)

analytics.identify(user, {"firstName": "Ada", "plan": "gold"})
analytics.track(user, "Order Completed", {
    "order_id": "order-" + user, "total": 12.5, "currency": "EUR", "products": [{"product_id": "p1", "quantity": 2, "price": 6.25}],
})
analytics.page(user, None, "Home", {"url": "https://shop.example.com/"})
analytics.screen(user, None, "Start")
analytics.group(user, "acme", {"name": "Acme"})
analytics.alias("visitor-" + user, user)
analytics.track(user, "Left")
analytics.flush()
analytics.join()
sys.exit(f"not sent: {failures}" if failures else 0)
