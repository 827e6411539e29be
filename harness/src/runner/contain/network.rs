//! A network that leads nowhere, and a witness who sees whoever tries it.
//!
//! In the new network namespace every address is made local to the loopback device, so that packets
//! to anywhere come by there and connections are refused at once instead of timing out.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Destinations beyond this many are not listed.
const LISTED_MAX: usize = 256;

/// A socket that sees every packet in the namespace, and what it saw.
pub(super) struct Witness {
    socket: OwnedFd,
    seen: BTreeSet<String>,
}

impl Witness {
    /// Brings up the loopback device and starts to watch it.
    pub(super) fn begin() -> rustix::io::Result<Self> {
        // The protocol is in network byte order: packet(7), `ETH_P_ALL`.
        let all = Protocol::from_raw(std::num::NonZeroU32::from(
            std::num::NonZeroU16::new(3u16.to_be()).ok_or(Errno::INVAL)?,
        ));
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = SocketType::DGRAM;
        let socket = rustix::net::socket_with(AddressFamily::PACKET, kind, flags, Some(all))?;
        let route = SocketFlags::CLOEXEC;
        let netlink =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, route, None)?;
        ask(&netlink, &link_up())?;
        ask(&netlink, &all_local(AddressFamily::INET))?;
        match ask(&netlink, &all_local(AddressFamily::INET6)) {
            // A kernel without IPv6 has nothing to watch.
            Ok(()) | Err(Errno::AFNOSUPPORT | Errno::NODEV | Errno::ACCESS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            socket,
            seen: BTreeSet::new(),
        })
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads what has come by, without waiting.
    pub(super) fn look(&mut self) {
        let mut packet = [0; 128];
        // Bounded, so that a flood does not keep the helper from its other duties.
        for _ in 0..1024 {
            match rustix::net::recv(&self.socket, &mut packet[..], RecvFlags::empty()) {
                Ok((length, _)) => {
                    let name = destination(&packet[..length.min(packet.len())]);
                    if let Some(name) = name.filter(|_| self.seen.len() < LISTED_MAX) {
                        self.seen.insert(name);
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Where packets were sent, such as `tcp/192.0.2.1:80`.
    pub(super) fn finish(mut self) -> Vec<PathBuf> {
        self.look();
        self.seen.into_iter().map(PathBuf::from).collect()
    }
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// Where an IP packet goes, unless it stays on the loopback device by right, or is only the
/// kernel's answer to another: of TCP the first packet of a connection counts, of ICMP an echo request.
fn destination(packet: &[u8]) -> Option<String> {
    let (address, protocol, payload) = match packet.first()? >> 4 {
        4 => {
            let bytes: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            let header = usize::from(packet[0] & 15) * 4;
            (
                IpAddr::V4(Ipv4Addr::from(bytes)),
                packet[9],
                packet.get(header..),
            )
        }
        6 => {
            let bytes: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            (
                IpAddr::V6(Ipv6Addr::from(bytes)),
                packet[6],
                packet.get(40..),
            )
        }
        _ => return None,
    };
    if address.is_loopback() {
        return None;
    }
    let payload = payload.unwrap_or_default();
    let port = payload
        .get(2..4)
        .map(|port| u16::from_be_bytes([port[0], port[1]]));
    match (protocol, port) {
        (TCP, Some(port)) => {
            let opens = payload
                .get(13)
                .is_some_and(|flags| flags & (SYN | ACK) == SYN);
            opens.then(|| format!("tcp/{}", SocketAddr::new(address, port)))
        }
        (UDP, Some(port)) => Some(format!("udp/{}", SocketAddr::new(address, port))),
        (ICMP, _) => (payload.first() == Some(&8)).then(|| format!("icmp/{address}")),
        (ICMP6, _) => (payload.first() == Some(&128)).then(|| format!("icmp/{address}")),
        (number, _) => Some(format!("protocol-{number}/{address}")),
    }
}

/// rtnetlink(7): set the flag `IFF_UP` of the interface with index 1, which is always loopback.
fn link_up() -> Vec<u8> {
    let mut body = vec![0; 4];
    for word in [1u32, 1, 1] {
        body.extend(word.to_ne_bytes());
    }
    message(16, 0, &body)
}

/// rtnetlink(7): a route of type local to everywhere, through loopback.
fn all_local(family: AddressFamily) -> Vec<u8> {
    const TABLE_MAIN: u8 = 254;
    const PROTOCOL_BOOT: u8 = 3;
    const SCOPE_HOST: u8 = 254;
    const TYPE_LOCAL: u8 = 2;
    const CREATE: u16 = 0x400;
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    let mut body = vec![
        family,
        0,
        0,
        0,
        TABLE_MAIN,
        PROTOCOL_BOOT,
        SCOPE_HOST,
        TYPE_LOCAL,
    ];
    body.extend(0u32.to_ne_bytes());
    // The attribute `RTA_OIF`: length, type, index of the interface.
    body.extend(8u16.to_ne_bytes());
    body.extend(4u16.to_ne_bytes());
    body.extend(1u32.to_ne_bytes());
    message(24, CREATE, &body)
}

/// netlink(7): a request that asks for an acknowledgement.
fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    const REQUEST_ACK: u16 = 5;
    let length = u32::try_from(16 + body.len()).unwrap_or_default();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((flags | REQUEST_ACK).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// Sends a request and reads its acknowledgement: after the header an error number, 0 for success.
fn ask(netlink: &OwnedFd, request: &[u8]) -> rustix::io::Result<()> {
    rustix::net::send(netlink, request, SendFlags::empty())?;
    let mut answer = [0; 1024];
    let (length, _) = rustix::net::recv(netlink, &mut answer[..], RecvFlags::empty())?;
    let code = answer[..length]
        .get(16..20)
        .and_then(|code| code.try_into().ok());
    match i32::from_ne_bytes(code.ok_or(Errno::PROTO)?) {
        0 => Ok(()),
        code => Err(Errno::from_raw_os_error(-code)),
    }
}

#[cfg(test)]
mod tests {
    use super::destination;

    #[test]
    fn packets_are_named_by_where_they_go() {
        let mut packet = vec![0; 40];
        packet[0] = 0x45;
        packet[9] = 6;
        packet[16..20].copy_from_slice(&[192, 0, 2, 1]);
        packet[22..24].copy_from_slice(&80u16.to_be_bytes());
        packet[33] = super::SYN;
        assert_eq!(destination(&packet).as_deref(), Some("tcp/192.0.2.1:80"));
        packet[33] |= super::ACK;
        assert_eq!(destination(&packet), None, "an answer");
        packet[33] = super::SYN;
        packet[16..20].copy_from_slice(&[127, 0, 0, 1]);
        assert_eq!(destination(&packet), None);
    }

    #[test]
    fn a_short_or_strange_packet_is_no_trouble() {
        for packet in [&b""[..], b"E", b"`", &[0x4f; 20], &[0xff; 60]] {
            let _: Option<String> = destination(packet);
        }
        assert_eq!(
            destination(&[0x45; 20]).as_deref(),
            Some("protocol-69/69.69.69.69")
        );
    }
}
