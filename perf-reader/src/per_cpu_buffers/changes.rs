//! The changes that a refresh finds.

/// The changes that [`PerCpuBuffers::refresh`](crate::PerCpuBuffers::refresh) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotplugChanges {
    /// CPUs that got their first buffer.
    pub added: Vec<u32>,
    /// CPUs that were offline and are online again.
    pub restored: Vec<u32>,
    /// CPUs that went offline. Their records can still be drained.
    pub removed: Vec<u32>,
    /// CPUs whose slot holds another reader's event, found for the first time. The other reader gets the records of
    /// programs on these CPUs.
    pub taken: Vec<u32>,
    /// CPUs whose slot was empty, because the other reader of the map had ended. The slot holds this set's event again.
    /// Records that programs sent while the slot was empty are lost, and only the programs can count them.
    pub regained: Vec<u32>,
}

/// Adds a CPU to a list, unless an earlier, failed refresh has added it.
pub(super) fn note(list: &mut Vec<u32>, cpu: u32) {
    if !list.contains(&cpu) {
        list.push(cpu);
    }
}
