//! Compiles the proto of the scoring service without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}/tallystick/v1/scoring.proto");
    let files = protox::compile(["tallystick/v1/scoring.proto"], [root])?;
    // Answers are read from the JSON of the REST interface: one shape, two encodings.
    let told = ["Score", "Points", "Interval", "Share", "Band", "Text", "Reason", "ModelReference", "LogReceipt"];
    let told = told.into_iter().chain(["RequestEntry", "AnswerEntry", "Problem"]);
    let generator = told.fold(tonic_prost_build::configure(), |generator, message| {
        generator.message_attribute(format!("tallystick.v1.{message}"), "#[derive(serde::Deserialize)]")
    });
    generator.compile_fds(files)?;
    Ok(())
}
