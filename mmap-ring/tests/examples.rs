//! Runs the examples of waiting in other event loops.

#[path = "../examples/epoll.rs"]
mod epoll;
#[path = "../examples/mio.rs"]
mod mio_loop;
#[path = "../examples/tokio.rs"]
mod tokio_task;

#[test]
fn epoll() {
    epoll::main().unwrap();
}

#[test]
fn mio() {
    mio_loop::main().unwrap();
}

#[test]
fn tokio() {
    tokio_task::main().unwrap();
}
