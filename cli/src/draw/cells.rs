//! From bytes to columns.
//!
//! A column stands for a stretch of bytes. What it shows is the rarest of what lies in it (busy before discarded before
//! committed), so that the one busy record among thousands, which holds up all behind it, is never lost in the scale.

use crate::peek::{Snapshot, State, Waiting};

/// What a column shows; `None` is nothing.
pub(crate) type Cell = Option<State>;

/// The two views of the data in a row, `2 * columns` cells, as the kernel maps them.
pub(crate) fn both_views(snapshot: &Snapshot, columns: usize) -> Vec<Cell> {
    let mut cells = vec![None; columns.saturating_mul(2)];
    for record in &snapshot.records {
        let start = scaled(snapshot.offset(record.position), snapshot.bytes, columns);
        // The column of its last byte: up to the end of the second view.
        let last = scaled(snapshot.offset(record.position) + record.space() - 1, snapshot.bytes, columns);
        for column in start..=last {
            // What lies in one view lies in the other one, too.
            mark(&mut cells, column, record.state);
            mark(&mut cells, column + columns, record.state);
            if let Some(column) = column.checked_sub(columns) {
                mark(&mut cells, column, record.state);
            }
        }
    }
    cells
}

/// What waits, by itself, `columns` wide.
pub(crate) fn waiting(snapshot: &Snapshot, columns: usize) -> Vec<Cell> {
    let mut cells = vec![None; columns];
    for record in &snapshot.records {
        let (start, end) = stretch(snapshot, record, columns);
        for column in start..end.max(start + 1) {
            mark(&mut cells, column, record.state);
        }
    }
    cells
}

/// Where a record lies among `columns` that stand for what waits: its first column, and the one behind its last.
pub(crate) fn stretch(snapshot: &Snapshot, record: &Waiting, columns: usize) -> (usize, usize) {
    let start = record.position.wrapping_sub(snapshot.oldest());
    let end = start.saturating_add(record.space());
    (scaled(start, snapshot.fill_bytes, columns), scaled(end, snapshot.fill_bytes, columns))
}

/// The column of byte `at` if `bytes` are `columns` wide.
pub(crate) fn scaled(at: u64, bytes: u64, columns: usize) -> usize {
    let column = u128::from(at) * columns as u128 / u128::from(bytes.max(1));
    usize::try_from(column).unwrap_or(usize::MAX)
}

fn mark(cells: &mut [Cell], column: usize, state: State) {
    if let Some(cell) = cells.get_mut(column) {
        *cell = (*cell).max(Some(state));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::peek::Mode;

    /// A ring of one page whose records have these lengths and states, and begin at `position`.
    pub(crate) fn ring(position: u64, records: &[(u32, State)]) -> Snapshot {
        let mut snapshot = Snapshot {
            time_ns: 0,
            id: 7,
            name: "events".to_owned(),
            mode: Mode::Ring,
            bytes: 4096,
            consumer_pos: position,
            producer_pos: position,
            pending_pos: position,
            overwrite_pos: 0,
            fill_bytes: 0,
            committed: 0,
            busy: 0,
            discarded: 0,
            released_meanwhile: 0,
            corrupt: None,
            not_listed: 0,
            records: Vec::new(),
        };
        for &(length, state) in records {
            let position = snapshot.producer_pos;
            let record = Waiting { position, offset: position % 4096, length, state, payload: None, value: None };
            snapshot.producer_pos += record.space();
            snapshot.fill_bytes += record.space();
            snapshot.records.push(record);
        }
        assert!(snapshot.is_sound());
        snapshot
    }

    fn drawn(cells: &[Cell]) -> String {
        let glyph = |cell: &Cell| match cell {
            None => '.',
            Some(State::Committed) => 'c',
            Some(State::Discarded) => 'd',
            Some(State::Busy) => 'b',
        };
        cells.iter().map(glyph).collect()
    }

    #[test]
    fn a_record_lies_in_both_views() {
        let snapshot = ring(1024, &[(1016, State::Committed), (504, State::Busy)]);
        assert_eq!(drawn(&both_views(&snapshot, 8)), "..ccb.....ccb...");
    }

    #[test]
    fn what_wraps_is_one_piece_across_the_border() {
        let snapshot = ring(4096 + 3072, &[(2040, State::Committed)]);
        assert_eq!(drawn(&both_views(&snapshot, 4)), "c..cc..c");
    }

    #[test]
    fn the_rarest_state_is_never_lost() {
        let records = [(8, State::Committed), (8, State::Busy), (8, State::Discarded), (8, State::Committed)];
        assert_eq!(drawn(&both_views(&ring(0, &records), 4)), "b...b...");
        assert_eq!(drawn(&waiting(&ring(0, &records), 2)), "bd");
        assert_eq!(drawn(&waiting(&ring(0, &records), 8)), "ccbbddcc");
    }

    #[test]
    fn a_full_ring_fills_both() {
        let snapshot = ring(800, &[(4080, State::Discarded)]);
        assert_eq!(drawn(&both_views(&snapshot, 4)), "dddddddd");
    }
}
