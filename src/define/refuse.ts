/** How the parts of loading report a mistake in what a user wrote. A type. */

import type { ErrorCode } from '../model/errors.ts'
import type { SourcePlace } from './types.ts'

/** Adds one mistake; loading goes on. Without a hint the code's own is shown. */
export type Refuse = (code: ErrorCode, message: string, place: SourcePlace, hint?: string) => void
