import { readFileSync } from "node:fs";

import { type CallOptions, type ClientUnaryCall, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";

import { ContactServiceClient } from "./generated/contactservice/v1/contact_service.js";

const SERVICE_CONFIG = readFileSync(new URL("../service_config.json", import.meta.url), "utf8");
const PATIENCE_MS = 30_000;

type Unary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

/** The service, and what goes with every call to it. Opens nothing yet: the first call does. */
export class Connection {
  readonly contacts: ContactServiceClient;
  // @grpc/grpc-js takes waitForReady from here only, not from the service config.
  readonly metadata = new Metadata({ waitForReady: true });

  constructor() {
    const token = process.env["CONTACTSERVICE_TOKEN"];
    if (!token) {
      throw new Error("CONTACTSERVICE_TOKEN is not set");
    }
    this.metadata.set("authorization", `Bearer ${token}`);
    const address = process.env["CONTACTSERVICE_ADDRESS"] || "127.0.0.1:50051";
    // For a service on this machine. Elsewhere: credentials.createSsl().
    const plain = credentials.createInsecure();
    this.contacts = new ContactServiceClient(address, plain, { "grpc.service_config": SERVICE_CONFIG });
  }

  /** A call without a deadline waits for a replica for ever. */
  get options(): Partial<CallOptions> {
    return { deadline: Date.now() + PATIENCE_MS };
  }

  call<Request, Response>(method: Unary<Request, Response>, request: Request): Promise<Response> {
    return new Promise((resolve, reject) => {
      method.call(this.contacts, request, this.metadata, this.options, (error, response) =>
        error ? reject(error) : resolve(response),
      );
    });
  }

  close(): void {
    this.contacts.close();
  }
}
