//! Sends one message of each type through the crate rudderanalytics: rudder-rust <host> <write key> <user>.
use rudderanalytics::client::RudderAnalytics;
use rudderanalytics::errors::Error;
use rudderanalytics::message::{Alias, Batch, BatchMessage, Group, Identify, Message, Page, Screen, Track};
use serde_json::json;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, host, write_key, user] = arguments.as_slice() else {
        panic!("rudder-rust <host> <write key> <user>");
    };
    let client = RudderAnalytics::load(write_key.clone(), host.clone());
    let user_id = Some(user.clone());

    client.send(&Message::Identify(Identify {
        user_id: user_id.clone(),
        traits: Some(json!({ "firstName": "Ada", "plan": "gold" })),
        ..Default::default()
    }))?;
    client.send(&Message::Track(Track {
        user_id: user_id.clone(),
        event: "Order Completed".to_owned(),
        properties: Some(json!({
            "order_id": format!("order-{user}"), "total": 12.5, "currency": "EUR",
            "products": [{ "product_id": "p1", "quantity": 2, "price": 6.25 }],
        })),
        ..Default::default()
    }))?;
    client.send(&Message::Page(Page {
        user_id: user_id.clone(),
        name: "Home".to_owned(),
        properties: Some(json!({ "url": "https://shop.example.com/" })),
        ..Default::default()
    }))?;
    client.send(&Message::Group(Group { user_id: user_id.clone(), group_id: "acme".to_owned(), ..Default::default() }))?;
    client.send(&Message::Alias(Alias { user_id: user.clone(), previous_id: format!("visitor-{user}"), ..Default::default() }))?;
    client.send(&Message::Batch(Batch {
        batch: vec![
            BatchMessage::Screen(Screen { user_id: user_id.clone(), name: "Start".to_owned(), ..Default::default() }),
            BatchMessage::Track(Track { user_id, event: "Left".to_owned(), ..Default::default() }),
        ],
        ..Default::default()
    }))
}
