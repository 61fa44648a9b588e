-- The twenty routes with the worst average delay, among those flown at least a hundred times.
SELECT origin, destination, count(*) AS flights, avg(delay) AS delay_average
FROM flights
GROUP BY origin, destination
HAVING count(*) >= 100
ORDER BY delay_average DESC, origin, destination
LIMIT 20
