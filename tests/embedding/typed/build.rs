//! Writes the types of `typed.o`, before the package is compiled.

fn main() -> Result<(), cutaway::Error> {
    cutaway::bindgen::Builder::new("../../corpus/bindgen/typed.o").write_to_out_dir()?;
    Ok(())
}
