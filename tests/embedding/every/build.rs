//! Writes the types of each object of `tests/corpus` that is for machines of this byte order.

use std::{fs, path::Path};

use cutaway::{Object, bindgen::Builder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Other objects: a directory, given by the environment.
    println!("cargo:rerun-if-env-changed=OBJECTS");
    let directory = std::env::var("OBJECTS").unwrap_or_else(|_| "../../corpus".to_owned());
    println!("cargo:rerun-if-changed={directory}");
    let out = std::env::var("OUT_DIR")?;
    let mut objects = Vec::new();
    collect(Path::new(&directory), &mut objects)?;
    objects.sort();
    let mut modules = String::new();
    let mut count = 0;
    for path in objects {
        // Broken objects have no module; their errors are tested elsewhere.
        let Ok(object) = Object::parse(&fs::read(&path)?) else { continue };
        if object.btf().is_none() {
            continue;
        }
        let name = path.strip_prefix(&directory)?.with_extension("").display().to_string();
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let file = Builder::new(&path).module(&name).write_to(&out)?;
        modules += &format!("#[path = {:?}]\npub mod {};\n", file.display().to_string(), name.to_lowercase());
        count += 1;
    }
    modules += &format!("pub const COUNT: usize = {count};\n");
    fs::write(Path::new(&out).join("every.rs"), modules)?;
    Ok(())
}

fn collect(directory: &Path, objects: &mut Vec<std::path::PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, objects)?;
        } else if path.extension().is_some_and(|extension| extension == "o") {
            objects.push(path);
        }
    }
    Ok(())
}
