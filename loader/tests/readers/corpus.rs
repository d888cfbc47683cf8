use std::{fs, path::{Path, PathBuf}};
use cutaway::{compare_readers, Object};
fn corpus() -> PathBuf { Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus") }
#[test]
fn explore() {
    let target = Object::parse(&fs::read(corpus().join("core/target.o")).unwrap()).unwrap().btf().unwrap();
    let live = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let mut paths: Vec<_> = fs::read_dir(corpus()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir())
        .flat_map(|d| fs::read_dir(d).unwrap().map(|e| e.unwrap().path())).filter(|p| p.extension().is_some_and(|e| e == "o")).collect();
    paths.sort();
    for path in paths {
        let name = path.strip_prefix(corpus()).unwrap().display().to_string();
        let bytes = fs::read(&path).unwrap();
        println!("{name}\n   T {:?}\n   L {:?}", compare_readers(&bytes, &target), compare_readers(&bytes, &live));
    }
}
struct Warns;
static WARNS: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
impl cutaway_log::Log for Warns { fn enabled(&self,_:&cutaway_log::Metadata)->bool{true} fn log(&self,r:&cutaway_log::Record){ if r.level()<=cutaway_log::Level::Warn {WARNS.lock().unwrap().push(r.args().to_string())} } fn flush(&self){} }
use log as cutaway_log;
#[test]
fn mended() {
    let _ = log::set_logger(&Warns); log::set_max_level(log::LevelFilter::Warn);
    let live = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let mut paths: Vec<_> = fs::read_dir(corpus()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir())
        .flat_map(|d| fs::read_dir(d).unwrap().map(|e| e.unwrap().path())).filter(|p| p.extension().is_some_and(|e| e == "o")).collect();
    paths.sort();
    for path in paths {
        let name = path.strip_prefix(corpus()).unwrap().display().to_string();
        let bytes = fs::read(&path).unwrap();
        WARNS.lock().unwrap().clear();
        match Object::parse_with(cutaway::ObjectReader::AyaObj, &bytes) {
            Err(_) => continue, //println!("{name}: {e}"),
            Ok(o) => { let r = o.dry_run(&live); println!("{name}: {} {:?}", match r { Ok(r) => r.programs.iter().map(|p| p.instructions.as_ref().map_or_else(ToString::to_string, |i| i.len().to_string())).collect::<Vec<_>>().join(","), Err(e)=>e.to_string()}, WARNS.lock().unwrap()); }
        }
    }
}
