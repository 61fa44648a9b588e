/** For tests: says whether a thrown value is the `RefoldError` expected. */

import { type ErrorCode, RefoldError } from '../../src/model/errors.ts'

export function isRefoldError(code: ErrorCode, message?: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof RefoldError &&
    error.code === code &&
    (message === undefined || message.test(error.message))
}
