fn main() {
    let a: Vec<String> = std::env::args().collect();
    let b = std::fs::read(&a[1]).unwrap();
    let mut o = cutaway::bindgen::Options::new(&a[2]);
    if let Some(p) = a.get(3) {
        o = o.include(p);
    }
    print!("{}", cutaway::bindgen::generate(&b, &o).unwrap_or_else(|e| panic!("{e}")));
}
