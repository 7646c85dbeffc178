/** For code of ours that tells what it does: the event log of the run has it already. */
export const SILENT_LOG = { debug() {}, info() {}, warn() {}, error() {} };
export const SILENT_PROGRESS = { phase() {}, bytes() {}, note() {} };
