//! Compiles the protos without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let files = protox::compile(["tallystick/v1/link.proto"], [root])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
