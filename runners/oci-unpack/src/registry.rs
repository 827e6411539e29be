//! A registry on the loopback interface that has one image layout, for libraries that read nothing else.
//!
//! It serves the bytes as they lie in the layout and checks no digest, as a registry that lies would: to
//! check is the client's part. What only a layout has, its version file, is looked at here, since a client
//! of a registry never sees it.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Starts to serve a layout as `ADDRESS/image`, until the program ends.
pub fn serve(layout: &Path) -> Result<SocketAddr> {
    let marker: Value = serde_json::from_slice(&fs::read(layout.join("oci-layout"))?)?;
    if marker["imageLayoutVersion"] != "1.0.0" {
        bail!("no image layout of version 1.0.0");
    }
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let layout = layout.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let layout = layout.clone();
            // A client that hangs up is its own affair.
            thread::spawn(move || answer(&stream, &layout).ok());
        }
    });
    Ok(address)
}

/// Answers one request and hangs up.
fn answer(mut stream: &TcpStream, layout: &Path) -> Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().context("no request")??;
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let mut words = request.split(' ');
    let (method, path) = (words.next(), words.next().context("no path")?);
    match find(layout, path) {
        Ok((kind, mut file)) => {
            let length = file.metadata()?.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            )?;
            if method == Some("GET") {
                io::copy(&mut file, &mut stream)?;
            }
        }
        Err(error) => {
            eprintln!("registry: {path}: {error:#}");
            let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes())?;
        }
    }
    Ok(())
}

/// The media type and the bytes that a path of the distribution-spec stands for.
fn find(layout: &Path, path: &str) -> Result<(String, File)> {
    let octets = "application/octet-stream".to_owned();
    let Some(rest) = path.strip_prefix("/v2/image/") else {
        bail!("no such path");
    };
    let Some(reference) = rest.strip_prefix("manifests/") else {
        let digest = rest.strip_prefix("blobs/").context("no such path")?;
        return Ok((octets, open(&blob(layout, digest)?)?));
    };
    if reference.contains(':') {
        let file = blob(layout, reference)?;
        return Ok((media_type_within(&file), open(&file)?));
    }
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?)?;
    let manifests = index["manifests"].as_array().context("no manifests")?;
    let descriptor = manifests
        .iter()
        .find(|one| one["annotations"]["org.opencontainers.image.ref.name"] == reference)
        .context("no such tag")?;
    let digest = descriptor["digest"].as_str().context("no digest")?;
    let kind = descriptor["mediaType"].as_str().unwrap_or(&octets);
    Ok((kind.to_owned(), open(&blob(layout, digest)?)?))
}

/// Where a blob lies; a digest is no way out of the layout.
fn blob(layout: &Path, digest: &str) -> Result<PathBuf> {
    let (algorithm, encoded) = digest.split_once(':').context("no digest")?;
    if [algorithm, encoded]
        .iter()
        .any(|part| part.contains(['/', '.']))
    {
        bail!("no digest");
    }
    Ok(layout.join("blobs").join(algorithm).join(encoded))
}

/// What a document says of itself, which is what a registry was told when it got it.
fn media_type_within(file: &Path) -> String {
    let bytes = open(file)
        .and_then(|_| Ok(fs::read(file)?))
        .unwrap_or_default();
    let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let within = document["mediaType"].as_str();
    within
        .unwrap_or(match document.get("manifests") {
            Some(_) => "application/vnd.oci.image.index.v1+json",
            None => "application/vnd.oci.image.manifest.v1+json",
        })
        .to_owned()
}

/// Opens a plain file; a registry holds nothing else.
fn open(path: &Path) -> Result<File> {
    if !fs::metadata(path)?.is_file() {
        bail!("no plain file");
    }
    Ok(File::open(path)?)
}
