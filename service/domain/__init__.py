"""What the service knows: pure rules over plain values. No I/O, no clock, no grpc, no pymongo."""
