-- Single flights of over 4,000 miles: rows, not groups.
SELECT flight, departed_at, origin, destination, distance, delay
FROM flights
WHERE distance > 4000
