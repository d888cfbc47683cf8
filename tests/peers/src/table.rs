//! The results: medians, ranges and ratios, as a table and as CSV.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// All values by measure and consumer, in the order of their arrival.
#[derive(Default)]
pub struct Table {
    measures: Vec<Measure>,
}

struct Measure {
    what: String,
    unit: &'static str,
    peers: Vec<(&'static str, Vec<f64>)>,
}

/// Median, least and greatest value.
struct Spread {
    median: f64,
    least: f64,
    greatest: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self { median: sorted[sorted.len() / 2], least: sorted[0], greatest: sorted[sorted.len() - 1] }
    }
}

/// Returns the median of the rounds' ratios, or a dash if there is none (zero to zero).
fn ratio(values: &[f64], others: &[f64]) -> String {
    let ratios: Vec<f64> = values.iter().zip(others).map(|(own, other)| own / other).filter(|r| !r.is_nan()).collect();
    if ratios.is_empty() { "-".to_owned() } else { format!("{:.2}", Spread::of(&ratios).median) }
}

/// Returns each consumer once a round, and begins every round with another one: a disturbance of the machine favors
/// none.
pub fn in_turn<P: Copy>(rounds: usize, peers: &[P]) -> impl Iterator<Item = P> {
    (0..rounds).flat_map(move |round| peers.iter().cycle().skip(round % peers.len()).take(peers.len()).copied())
}

impl Table {
    pub fn add(&mut self, what: &str, peer: &'static str, unit: &'static str, value: f64) {
        let at = match self.measures.iter().position(|measure| measure.what == what) {
            Some(at) => at,
            None => {
                let what = what.to_owned();
                self.measures.push(Measure { what, unit, peers: Vec::new() });
                self.measures.len() - 1
            }
        };
        let peers = &mut self.measures[at].peers;
        match peers.iter_mut().find(|(name, _)| *name == peer) {
            Some((_, values)) => values.push(value),
            None => peers.push((peer, vec![value])),
        }
    }

    /// Returns the median of the values of one consumer.
    pub fn median(&self, what: &str, peer: &str) -> Option<f64> {
        let measure = self.measures.iter().find(|measure| measure.what == what)?;
        let (_, values) = measure.peers.iter().find(|(known, _)| *known == peer)?;
        Some(Spread::of(values).median)
    }

    /// Returns the median of the rounds' ratios of one consumer to another.
    pub fn ratio(&self, what: &str, peer: &str, other: &str) -> Option<f64> {
        let measure = self.measures.iter().find(|measure| measure.what == what)?;
        let values = |name: &str| measure.peers.iter().find(|(known, _)| *known == name).map(|(_, values)| values);
        let ratios: Vec<f64> = values(peer)?.iter().zip(values(other)?).map(|(own, other)| own / other).collect();
        Some(Spread::of(&ratios).median)
    }

    /// Prints the table. The ratio is to the first line of each measure, taken round by round. So noise that lasts
    /// longer than a round cancels out.
    pub fn print(&self) {
        for Measure { what, unit, peers } in &self.measures {
            println!("\n{what} ({unit})");
            println!(
                "  {:40} {:>9} {:>9} {:>9}  {}",
                "", "median", "least", "greatest", "ratio to each line above, median of rounds"
            );
            for (line, (peer, values)) in peers.iter().enumerate() {
                let Spread { median, least, greatest } = Spread::of(values);
                print!("  {peer:40} {median:9.3} {least:9.3} {greatest:9.3} ");
                for (_, others) in peers.iter().take(line) {
                    print!(" {:>6}", ratio(values, others));
                }
                println!();
            }
        }
    }

    /// Returns CSV: one line per measure and consumer.
    pub fn csv(&self, facts: &BTreeMap<&str, String>) -> String {
        let mut csv = String::new();
        for (name, value) in facts {
            let _ = writeln!(csv, "# {name}: {value}");
        }
        csv.push_str("measure,consumer,unit,rounds,median,least,greatest\n");
        for Measure { what, unit, peers } in &self.measures {
            for (peer, values) in peers {
                let Spread { median, least, greatest } = Spread::of(values);
                let rounds = values.len();
                let _ = writeln!(csv, "\"{what}\",\"{peer}\",{unit},{rounds},{median:.4},{least:.4},{greatest:.4}");
            }
        }
        csv
    }
}
