/** Finds the name that was probably meant; it lives in `std/`, where every layer can use it. */

export { nearestName } from '../std/nearest-name.ts'
