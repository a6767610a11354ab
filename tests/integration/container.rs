//! Postgres in a container, through testcontainers, where a Docker engine answers.

use std::process::{Command, Stdio};

use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{GenericImage, ImageExt};

/// Starts the container and gives the superuser's URL. It is removed when this process ends.
pub(crate) async fn start() -> String {
    let container = GenericImage::new("postgres", "17")
        .with_exposed_port(5432.tcp())
        .with_wait_for(WaitFor::message_on_stderr(
            "database system is ready to accept connections",
        ))
        .with_env_var("POSTGRES_PASSWORD", "container")
        .start()
        .await
        .expect("PGWARD_TEST_POSTGRES=docker needs a Docker engine with the image postgres:17");
    let host = container.get_host().await.unwrap();
    let port = container.get_host_port_ipv4(5432).await.unwrap();
    remove_with_this_process(container.id());
    std::mem::forget(container);
    format!("postgres://postgres:container@{host}:{port}/postgres")
}

/// A shell that waits for this process to end, however it ends, and then removes the container.
fn remove_with_this_process(id: &str) {
    let guard = Command::new("/bin/sh")
        .args([
            "-c",
            "cat >/dev/null; docker rm --force --volumes \"$1\"",
            "guard",
            id,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::mem::forget(guard);
}
