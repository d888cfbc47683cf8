//! CPUs whose buffers have changed.

/// The changes that [`PerCpuBuffers::refresh`](crate::PerCpuBuffers::refresh) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotplugChanges {
    /// CPUs that have a buffer now and had none before.
    pub added: Vec<u32>,
    /// CPUs that were away and are back.
    pub restored: Vec<u32>,
    /// CPUs that went offline. What they had written is still there to be drained.
    pub removed: Vec<u32>,
    /// CPUs in whose slot another reader's event was found, for the first time. What programs send there goes to that
    /// reader.
    pub taken: Vec<u32>,
    /// CPUs whose slot was empty, as it is after the other reader of the map has ended, and is this set's again. What
    /// programs sent meanwhile is lost, and counted by the programs alone.
    pub regained: Vec<u32>,
}

/// Adds a CPU to a list, unless a refresh that failed has added it.
pub(super) fn note(list: &mut Vec<u32>, cpu: u32) {
    if !list.contains(&cpu) {
        list.push(cpu);
    }
}
