//! Converts bytes to columns of a terminal.
//!
//! A column represents a range of bytes. It shows the rarest kind of record in that range: busy before discarded before
//! committed. So a single busy record among thousands, which blocks all later records, is always visible.

use super::picture::{Block, Kind, Picture};

/// The kind of record in a column; `None` is free space.
pub(crate) type Cell = Option<Kind>;

/// Returns the cells of the views in a row, `columns` cells each: two views if the kernel maps the data twice, else
/// one.
pub(crate) fn views(picture: &Picture, columns: usize) -> Vec<Cell> {
    let mut cells = vec![None; columns.saturating_mul(picture.views())];
    for record in &picture.records {
        let offset = picture.offset(record.position);
        let start = scaled(offset, picture.bytes, columns);
        // The column of its last byte, which may be in the second view.
        let last = scaled(offset.saturating_add(record.space).saturating_sub(1), picture.bytes, columns);
        for column in start..=last {
            // Both views have the same records. A record that wraps continues at the beginning of the data.
            mark(&mut cells, column, record.kind);
            mark(&mut cells, column.saturating_add(columns), record.kind);
            if let Some(column) = column.checked_sub(columns) {
                mark(&mut cells, column, record.kind);
            }
        }
    }
    cells
}

/// Returns the cells of the pending data alone, `columns` wide.
pub(crate) fn waiting(picture: &Picture, columns: usize) -> Vec<Cell> {
    let mut cells = vec![None; columns];
    for record in &picture.records {
        let (start, end) = stretch(picture, record, columns);
        for column in start..end.max(start + 1) {
            mark(&mut cells, column, record.kind);
        }
    }
    cells
}

/// Returns the columns of a record within the pending data: the first one, and the one after the last.
pub(crate) fn stretch(picture: &Picture, record: &Block, columns: usize) -> (usize, usize) {
    let start = record.position.wrapping_sub(picture.oldest);
    let end = start.saturating_add(record.space);
    (scaled(start, picture.fill_bytes, columns), scaled(end, picture.fill_bytes, columns))
}

/// Returns the column of byte `at` if `bytes` bytes are `columns` wide.
pub(crate) fn scaled(at: u64, bytes: u64, columns: usize) -> usize {
    let column = u128::from(at) * columns as u128 / u128::from(bytes.max(1));
    usize::try_from(column).unwrap_or(usize::MAX)
}

fn mark(cells: &mut [Cell], column: usize, kind: Kind) {
    if let Some(cell) = cells.get_mut(column) {
        *cell = (*cell).max(Some(kind));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Makes a buffer of one page whose records have these lengths and kinds, and begin at `position`.
    pub(crate) fn buffer(twice: bool, position: u64, records: &[(u64, Kind)]) -> Picture {
        let mut picture = Picture {
            what: "ring 7".to_owned(),
            name: Some("events".to_owned()),
            time_ns: 0,
            bytes: 4096,
            twice,
            words: Vec::new(),
            marks: Vec::new(),
            oldest: position,
            fill_bytes: 0,
            records: Vec::new(),
            not_listed: 0,
            kinds: if twice { Kind::OF_A_RING } else { Kind::OF_PERF },
        };
        for &(length, kind) in records {
            let space = (length + 8).next_multiple_of(8);
            picture.records.push(Block { position: position + picture.fill_bytes, space, length, kind });
            picture.fill_bytes += space;
        }
        picture
    }

    pub(crate) fn ring(position: u64, records: &[(u64, Kind)]) -> Picture {
        buffer(true, position, records)
    }

    fn drawn(cells: &[Cell]) -> String {
        let glyph = |cell: &Cell| match cell {
            None => '.',
            Some(Kind::Committed | Kind::Sample) => 'c',
            Some(Kind::Discarded | Kind::Other) => 'd',
            Some(Kind::Busy | Kind::Lost) => 'b',
        };
        cells.iter().map(glyph).collect()
    }

    #[test]
    fn record_is_in_both_views() {
        let picture = ring(1024, &[(1016, Kind::Committed), (504, Kind::Busy)]);
        assert_eq!(drawn(&views(&picture, 8)), "..ccb.....ccb...");
    }

    #[test]
    fn wrapped_record_crosses_the_border() {
        let picture = ring(4096 + 3072, &[(2040, Kind::Committed)]);
        assert_eq!(drawn(&views(&picture, 4)), "c..cc..c");
        let picture = buffer(false, 4096 + 3072, &[(2040, Kind::Sample)]);
        assert_eq!(drawn(&views(&picture, 4)), "c..c", "two pieces, if the data is mapped once");
    }

    #[test]
    fn rarest_kind_is_shown() {
        let records = [(8, Kind::Committed), (8, Kind::Busy), (8, Kind::Discarded), (8, Kind::Committed)];
        assert_eq!(drawn(&views(&ring(0, &records), 4)), "b...b...");
        assert_eq!(drawn(&waiting(&ring(0, &records), 2)), "bd");
        assert_eq!(drawn(&waiting(&ring(0, &records), 8)), "ccbbddcc");
    }

    #[test]
    fn full_ring_fills_both_views() {
        let picture = ring(800, &[(4080, Kind::Discarded)]);
        assert_eq!(drawn(&views(&picture, 4)), "dddddddd");
    }
}
