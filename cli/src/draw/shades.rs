//! Groups the records of a picture for a browser, which draws fractions of a pixel.
//!
//! A record that is wide enough is drawn alone. Thinner ones are not: their edges would fall between pixels, and the
//! picture would show a pattern of the browser's rounding. Consecutive thin records are drawn as columns of [`COLUMN`]
//! pixels, each in one shade: the kinds mixed by their bytes in the column. A kind that blocks or lost records is never
//! mixed: a column with one byte of it has its color. The exact numbers are in the title of the column.

use super::picture::{Block, Kind, Picture};

/// The width of a column, and of the narrowest record that is drawn alone, in pixels.
const COLUMN: f64 = 2.0;

/// The number of steps between the shades of two kinds.
const STEPS: u64 = 8;

/// A record that is drawn alone, or neighboring columns of one shade.
pub(super) struct Run {
    pub(super) position: u64,
    pub(super) bytes: u64,
    pub(super) shade: Shade,
    /// The number of records of each of the picture's kinds that begin here.
    counts: [u64; 3],
    /// The length of a record that is drawn alone.
    pub(super) alone: Option<u64>,
}

/// The color of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shade {
    One(Kind),
    /// The first two kinds of the picture, and the steps from the first to the second.
    Mixed(u64),
}

impl Shade {
    /// Returns the CSS class and the style of the color.
    pub(super) fn css(self) -> (&'static str, String) {
        match self {
            Self::One(kind) => (kind.word(), String::new()),
            Self::Mixed(steps) => {
                // `.committed` and `.discarded`, which have the colors of `.sample` and `.other`.
                let [from, to] = [[0x2e, 0x8b, 0x57], [0x9a, 0x9a, 0x9a_u64]];
                let mix = |index: usize| {
                    let [from, to] = [from, to].map(|color| color.get(index).copied().unwrap_or_default());
                    (from * (STEPS - steps) + to * steps) / STEPS
                };
                ("mixed", format!(" style=\"fill:#{:02x}{:02x}{:02x}\"", mix(0), mix(1), mix(2)))
            }
        }
    }
}

impl Run {
    /// Formats the numbers of the run.
    pub(super) fn title(&self, kinds: [Kind; 3]) -> String {
        let Self { position, bytes, counts, .. } = self;
        let all: u64 = counts.iter().sum();
        if let (Some(length), Shade::One(kind)) = (self.alone, self.shade) {
            return format!("{}: {length} bytes at position {position}", kind.word());
        }
        let each = kinds.iter().zip(counts).filter(|(_, count)| **count > 0);
        let each: Vec<String> = each.map(|(kind, count)| format!("{count} {}", kind.word())).collect();
        let records = if all == 1 { "1 record begins".to_owned() } else { format!("{all} records begin") };
        let each = if each.is_empty() { String::new() } else { format!(": {}", each.join(", ")) };
        format!("{bytes} bytes from position {position}, where {records}{each}")
    }

    /// Returns whether it is a record that is drawn alone.
    pub(super) fn is_alone(&self) -> bool {
        self.alone.is_some()
    }
}

/// Returns the runs to draw if a byte is `scale` pixels wide.
pub(super) fn runs(frame: &Picture, scale: f64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut thin: Vec<Block> = Vec::new();
    for record in &frame.records {
        let follows = thin.last().is_none_or(|last| last.position.wrapping_add(last.space) == record.position);
        let is_thin = (record.space as f64) * scale < COLUMN;
        if !(follows && is_thin) {
            columns(frame.kinds, &thin, scale, &mut runs);
            thin.clear();
        }
        if is_thin {
            thin.push(*record);
            continue;
        }
        runs.push(Run {
            position: record.position,
            bytes: record.space,
            shade: Shade::One(record.kind),
            counts: [0; 3],
            alone: Some(record.length),
        });
    }
    columns(frame.kinds, &thin, scale, &mut runs);
    runs
}

/// Adds the columns of consecutive thin records. Neighbors of one shade become one run.
fn columns(kinds: [Kind; 3], thin: &[Block], scale: f64, runs: &mut Vec<Run>) {
    let (Some(first), Some(last)) = (thin.first(), thin.last()) else { return };
    let start = first.position;
    let all = last.position.wrapping_add(last.space).wrapping_sub(start);
    // The position at which a column begins, relative to the start.
    let begin = |column: u64| ((column as f64 * COLUMN / scale).round() as u64).min(all);
    let mut records = thin.iter().peekable();
    // The bytes of the record at a column's end that belong to the next column, and their kind.
    let mut cut = [0_u64; 3];
    let first_run = runs.len();
    for column in 0.. {
        let (from, to) = (begin(column), begin(column + 1));
        if from >= all {
            break;
        }
        let (mut bytes, mut counts) = (std::mem::take(&mut cut), [0_u64; 3]);
        while let Some(record) = records.next_if(|record| record.position.wrapping_sub(start) < to) {
            let over = record.position.wrapping_sub(start).saturating_add(record.space).saturating_sub(to);
            let each = kinds.iter().zip(bytes.iter_mut().zip(&mut cut).zip(&mut counts));
            for (_, ((bytes, cut), count)) in each.filter(|(kind, _)| **kind == record.kind) {
                *bytes += record.space.saturating_sub(over);
                *cut += over;
                *count += 1;
            }
        }
        let shade = mixed(kinds, bytes);
        match runs.get_mut(first_run..).and_then(<[Run]>::last_mut) {
            Some(run) if run.shade == shade => {
                run.bytes += to - from;
                run.counts.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
            }
            _ => {
                runs.push(Run { position: start.wrapping_add(from), bytes: to - from, shade, counts, alone: None });
            }
        }
    }
}

/// Returns the shade of a column with these bytes of each kind.
fn mixed([one, other, critical]: [Kind; 3], [ones, others, criticals]: [u64; 3]) -> Shade {
    if criticals > 0 {
        return Shade::One(critical);
    }
    match ((others * STEPS) as f64 / (ones + others).max(1) as f64).round() as u64 {
        // Few records of a kind are visible too.
        0 if others == 0 => Shade::One(one),
        STEPS if ones == 0 => Shade::One(other),
        steps => Shade::Mixed(steps.clamp(1, STEPS - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cells::tests::ring, *};

    /// Makes a ring of 1 MiB with these kinds of records of 16 bytes.
    fn thin(kinds: impl Iterator<Item = Kind>) -> Picture {
        let mut frame = ring(0, &[]);
        frame.bytes = 1 << 20;
        for (index, kind) in (0..).zip(kinds) {
            frame.records.push(Block { position: index * 16, space: 16, length: 8, kind });
            frame.fill_bytes += 16;
        }
        frame
    }

    #[test]
    fn columns_have_one_shade_and_exact_numbers() {
        // Every tenth is discarded; a column of 2 pixels has 320 bytes, or 20 records.
        let kind = |index: u64| if index % 10 == 9 { Kind::Discarded } else { Kind::Committed };
        let frame = thin((0..1000).map(kind));
        let runs = runs(&frame, 2.0 / 320.0);
        assert_eq!(runs.len(), 1, "an even pattern has one shade");
        assert_eq!(runs[0].shade, Shade::Mixed(1));
        let title = "16000 bytes from position 0, where 1000 records begin: 900 committed, 100 discarded";
        assert_eq!(runs[0].title(frame.kinds), title);
    }

    #[test]
    fn every_record_is_counted_once_whatever_the_scale() {
        let kind = |index: u64| match index % 7 {
            3 => Kind::Discarded,
            5 if index.is_multiple_of(3) => Kind::Busy,
            _ => Kind::Committed,
        };
        let frame = thin((0..5000).map(kind));
        let expected = Kind::OF_A_RING.map(|kind| frame.records.iter().filter(|record| record.kind == kind).count());
        for scale in [0.001, 0.0137, 0.05, 0.099, 0.124] {
            let runs = runs(&frame, scale);
            let mut next = 0;
            let mut counts = [0; 3];
            for run in &runs {
                assert_eq!(run.position, next, "{scale}");
                next += run.bytes;
                counts.iter_mut().zip(run.counts).for_each(|(all, count)| *all += count as usize);
            }
            assert_eq!((next, counts), (frame.fill_bytes, expected), "{scale}");
        }
    }

    #[test]
    fn one_busy_record_colors_its_column() {
        let kind = |index: u64| if index == 500 { Kind::Busy } else { Kind::Committed };
        let runs = runs(&thin((0..1000).map(kind)), 2.0 / 320.0);
        let shades: Vec<_> = runs.iter().map(|run| run.shade).collect();
        assert_eq!(shades, [Kind::Committed, Kind::Busy, Kind::Committed].map(Shade::One));
        assert_eq!(
            runs[1].title(Kind::OF_A_RING),
            "320 bytes from position 8000, where 20 records begin: 19 committed, 1 busy"
        );
    }

    #[test]
    fn wide_records_are_drawn_alone() {
        let frame = ring(0, &[(40, Kind::Committed), (8, Kind::Committed), (8, Kind::Committed), (500, Kind::Busy)]);
        let runs = runs(&frame, 0.1);
        let alone: Vec<_> = runs.iter().map(|run| run.alone).collect();
        assert_eq!(alone, [Some(40), None, Some(500)]);
        assert_eq!(runs[1].title(frame.kinds), "32 bytes from position 48, where 2 records begin: 2 committed");
    }
}
