//! A deployment inside another program, followed by its events:
//!
//! ```text
//! cargo run --example embed -- ./build hosts.yaml
//! ```

use murder::Deployment;
use murder::deploy::Body;
use murder::fleet::FleetState;
use murder::inventory::Inventory;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [payload, inventory] = &words[..] else { return Err("usage: embed PAYLOAD INVENTORY".into()) };

    let mut run = Deployment::new(payload, Inventory::load(inventory.as_ref())?).start()?;
    let mut fleet = FleetState::new();
    while let Some(event) = run.events.recv().await {
        fleet.apply(&event);
        if let Body::Host { host, state, .. } = &event.body {
            println!("{} is {}", fleet.host_name(*host), state.name());
        }
    }
    print!("{}", murder::report::summary(&fleet, &murder::report::Style::default()));
    Ok(())
}
