-- Count a month whose rows the journal may no longer have into a total, once.
-- KEYS: the scope's hash. ARGV: start of the month, what it cost, how much of it was replayed.
local mark = 'c' .. ARGV[1]
if redis.call('HEXISTS', KEYS[1], mark) == 1 then return 0 end
redis.call('HSET', KEYS[1], mark, ARGV[2])
local missing = tonumber(ARGV[2]) - tonumber(ARGV[3])
if missing > 0 then redis.call('HINCRBY', KEYS[1], 't0', missing) end
return missing
