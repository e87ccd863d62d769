//! The one binary: everything happens in the node crate.
fn main() -> std::process::ExitCode {
    tally_node::main()
}
