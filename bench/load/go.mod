module contactservice/bench/load

go 1.23.0

require golang.org/x/net v0.42.0
