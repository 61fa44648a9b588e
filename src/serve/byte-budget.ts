/**
 * Bounds the memory that the bodies of all requests under way take together. State: the bytes that are held now;
 * it never passes the limit by more than one request that is alone.
 */

import { RefoldError } from '../model/errors.ts'

export interface ByteBudget {
  /** A share to which one request adds as its body arrives, and which it gives back as a whole. */
  open(): ByteShare
}

export interface ByteShare {
  /** Throws SERVER_BUSY when there is no room. */
  readonly take: (bytes: number) => void
  readonly release: () => void
}

export function createByteBudget(bytesMax: number): ByteBudget {
  let held = 0
  return {
    open() {
      let own = 0
      return {
        take(bytes) {
          // A request that is alone is bounded by its own limits, or it could never be sent.
          if (held + bytes > bytesMax && held > own) {
            throw new RefoldError('SERVER_BUSY', `the requests under way hold ${held} of ${bytesMax} bytes`)
          }
          own += bytes
          held += bytes
        },
        release() {
          held -= own
          own = 0
        },
      }
    },
  }
}
