package main

import (
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// reason is what a program goes by: the ErrorReason of a failed call, without its prefix. "" when the answer is
// gRPC's own, or none.
func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, is := detail.(*errdetails.ErrorInfo); is && info.GetDomain() == "contactservice.v1" {
			return info.GetReason()
		}
	}
	return ""
}

// told is what a person reads of an error.
func told(err error) string {
	failure, failed := status.FromError(err)
	if !failed {
		return err.Error()
	}
	why := strings.TrimSpace(code.Code(failure.Code()).String() + " " + reason(err))
	return why + ": " + failure.Message()
}
