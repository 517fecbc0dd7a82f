-- Take one from a rate bucket that no money hangs on: at most `limit` in any 60 s.
-- KEYS: bucket. ARGV: now, limit. Returns the seconds to wait, 0 if it was taken.
local BUCKET, LIVES = 5, 13
local now, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local bucket, used, oldest = math.floor(now / BUCKET), 0, nil
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local number = tonumber(flat[i])
  if number <= bucket - LIVES then redis.call('HDEL', KEYS[1], flat[i])
  else
    used = used + tonumber(flat[i + 1])
    oldest = math.min(oldest or number, number)
  end
end
if used >= limit then return math.max(1, (oldest + LIVES) * BUCKET - now) end
redis.call('HINCRBY', KEYS[1], bucket, 1)
redis.call('EXPIRE', KEYS[1], 90)
return 0
