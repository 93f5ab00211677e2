package main

import (
	"context"
	_ "embed"
	"errors"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	// Without it, healthCheckConfig is passed over.
	_ "google.golang.org/grpc/health"
)

//go:embed service_config.json
var serviceConfig string

// connect opens nothing yet: the first call does.
func connect() (*grpc.ClientConn, error) {
	token := os.Getenv("CONTACTSERVICE_TOKEN")
	if token == "" {
		return nil, errors.New("CONTACTSERVICE_TOKEN is not set")
	}
	address := os.Getenv("CONTACTSERVICE_ADDRESS")
	if address == "" {
		address = "127.0.0.1:50051"
	}
	return grpc.NewClient(
		address,
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithPerRPCCredentials(bearer(token)),
		// For a service on this machine. Elsewhere: credentials.NewClientTLSFromFile.
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
}

// bearer is the token that goes with every call.
type bearer string

func (token bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(token)}, nil
}

// RequireTransportSecurity should be true wherever TLS is.
func (bearer) RequireTransportSecurity() bool {
	return false
}
