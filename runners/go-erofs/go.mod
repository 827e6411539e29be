module go-erofs-runner

go 1.25

require github.com/erofs/go-erofs v0.3.1
