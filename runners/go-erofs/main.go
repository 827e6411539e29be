// Command go-erofs-runner writes an image of EROFS layers as one tar archive: LAYOUT TAG OUT.
//
// It reads the layers as `apko erofs ls` does, with the same library, and stacks them by the same rules, path by
// path and without a mount; see README.md.
package main

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/erofs/go-erofs"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Println("go-erofs", version())
		return
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		os.Remove(os.Args[3])
		fmt.Fprintln(os.Stderr, "go-erofs-runner:", err)
		os.Exit(1)
	}
}

// version is the library's, as it was linked.
func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/erofs/go-erofs" {
			return module.Version
		}
	}
	return "unknown"
}

func run(layout, tag, out string) error {
	blobs, err := layers(layout, tag)
	if err != nil {
		return err
	}
	var all stack
	for _, blob := range blobs {
		file, err := os.Open(blob)
		if err != nil {
			return err
		}
		defer file.Close()
		layer, err := erofs.Open(file)
		if err != nil {
			return fmt.Errorf("%s: %w", blob, err)
		}
		// The topmost first.
		all = append(stack{layer}, all...)
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := archive{tar.NewWriter(file), all, map[inode]string{}}
	if err := archive.tree("."); err != nil {
		return err
	}
	return archive.Close()
}

// inode tells hard links: a layer and a number in it.
type inode struct {
	layer  int
	number int64
}

type archive struct {
	*tar.Writer
	stack stack
	first map[inode]string
}

// tree writes what a name stands for, and what is below it.
func (a *archive) tree(name string) error {
	layer, info, err := a.stack.find(name)
	if err != nil {
		return err
	}
	if err := a.entry(name, layer, info); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !info.IsDir() {
		return nil
	}
	children, err := a.stack.children(name)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := a.tree(path.Join(name, child)); err != nil {
			return err
		}
	}
	return nil
}

// entry writes one header, and the content of a file.
func (a *archive) entry(name string, layer int, info fs.FileInfo) error {
	stat, ok := info.Sys().(*erofs.Stat)
	if !ok {
		return fmt.Errorf("no attributes")
	}
	header := tar.Header{
		Format:  tar.FormatPAX,
		Name:    "./" + name,
		Mode:    int64(stat.Mode.Perm()) | special(stat.Mode),
		Uid:     int(stat.UID),
		Gid:     int(stat.GID),
		ModTime: time.Unix(int64(stat.Mtime), int64(stat.MtimeNs)),
	}
	header.PAXRecords = map[string]string{}
	for key, value := range stat.Xattrs {
		// Overlayfs keeps its own to itself.
		if !strings.HasPrefix(key, "trusted.overlay.") {
			header.PAXRecords["SCHILY.xattr."+key] = value
		}
	}
	// As Linux numbers devices since 2.6.
	header.Devmajor = int64(stat.Rdev & 0xfff00 >> 8)
	header.Devminor = int64(stat.Rdev&0xff | stat.Rdev>>12&0xfff00)
	key := inode{layer, stat.Ino}
	if first, again := a.first[key]; again && !info.IsDir() {
		header.Typeflag, header.Linkname = tar.TypeLink, first
		return a.WriteHeader(&header)
	}
	a.first[key] = header.Name
	switch mode := stat.Mode; {
	case mode.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
	case mode&fs.ModeSymlink != 0:
		to, err := fs.ReadLink(a.stack[layer], name)
		if err != nil {
			return err
		}
		header.Typeflag, header.Linkname = tar.TypeSymlink, to
	case mode&fs.ModeCharDevice != 0:
		header.Typeflag = tar.TypeChar
	case mode&fs.ModeDevice != 0:
		header.Typeflag = tar.TypeBlock
	case mode&fs.ModeNamedPipe != 0:
		header.Typeflag = tar.TypeFifo
	case mode.IsRegular():
		return a.content(&header, layer, name, info)
	default:
		return fmt.Errorf("an archive holds no %s", mode)
	}
	return a.WriteHeader(&header)
}

func (a *archive) content(header *tar.Header, layer int, name string, info fs.FileInfo) error {
	header.Typeflag, header.Size = tar.TypeReg, info.Size()
	if err := a.WriteHeader(header); err != nil {
		return err
	}
	file, err := a.stack[layer].Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(a, file)
	return err
}

// special is the bits of a mode that Go keeps elsewhere.
func special(mode fs.FileMode) int64 {
	var bits int64
	for bit, value := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&bit != 0 {
			bits |= value
		}
	}
	return bits
}
