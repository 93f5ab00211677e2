import { type ServiceError, status } from "@grpc/grpc-js";

import { ErrorInfo } from "./generated/google/rpc/error_details.js";
import { Status } from "./generated/google/rpc/status.js";

/** What a program goes by: the ErrorReason of a failed call, without its prefix. "" when the answer is gRPC's own. */
export function reason(error: unknown): string {
  const [packed] = isFailure(error) ? error.metadata.get("grpc-status-details-bin") : [];
  const details = packed instanceof Buffer ? Status.decode(packed).details : [];
  for (const { typeUrl, value } of details) {
    const info = typeUrl.endsWith("/google.rpc.ErrorInfo") ? ErrorInfo.decode(value) : undefined;
    if (info?.domain === "contactservice.v1") {
      return info.reason;
    }
  }
  return "";
}

/** What a person reads of an error. */
export function told(error: unknown): string {
  if (!isFailure(error)) {
    return String(error);
  }
  const why = `${status[error.code]} ${reason(error)}`.trim();
  return `${why}: ${error.details}`;
}

function isFailure(error: unknown): error is ServiceError {
  return error instanceof Error && "metadata" in error;
}
