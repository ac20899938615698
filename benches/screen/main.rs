//! What the screen costs in the middle of a deployment, with a hundred, a thousand and ten thousand hosts: events taken in, pictures
//! drawn, bytes sent; and how soon a key is answered. `cargo bench --bench screen -- 2 3 echo` measures some of it alone: views by
//! their keys, and the answers to keys.

mod echo;
mod frames;
#[expect(dead_code, reason = "the example uses the rest of it")]
#[path = "../../examples/screen/sim.rs"]
mod sim;
mod stream;

/// Hosts of the largest fleet.
const MANY: usize = 10_000;
/// The screen.
const SIZE: (u16, u16) = (120, 40);
/// Keys of the views.
const VIEWS: [&str; 6] = ["1", "2", "3", "4", "5", "6"];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [word, log] = &words[..]
        && word == echo::SHOW
    {
        return echo::show(log);
    }
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    let views: Vec<&str> = VIEWS.into_iter().filter(|key| wanted(key)).collect();
    if !views.is_empty() {
        frames::measure(&views)?;
    }
    if wanted("echo") {
        echo::measure()?;
    }
    Ok(())
}
