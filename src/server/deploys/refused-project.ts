/** The mistakes of a project that was sent, as one error that can cross the wire. Pure. */

import { RefoldError, toErrorBody } from '../../model/errors.ts'
import type { JsonValue } from '../../model/schema.ts'
import { ProjectMistakes } from '../checked-project.ts'

/** Runs what takes a project; its mistakes come out as PROJECT_REFUSED, with all of them in `details.mistakes`. */
export async function refusingProject<T>(take: () => Promise<T>): Promise<T> {
  try {
    return await take()
  } catch (error) {
    if (!(error instanceof ProjectMistakes)) throw error
    const { mistakes } = error
    const [first] = mistakes
    const more = mistakes.length > 1 ? `, and ${mistakes.length - 1} more` : ''
    throw new RefoldError('PROJECT_REFUSED', `the project has mistakes: ${first?.message ?? ''}${more}`, {
      details: { mistakes: mistakes.map(toErrorBody) as unknown as JsonValue },
      cause: error,
    })
  }
}
