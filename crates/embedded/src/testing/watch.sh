# Runs the test cluster's server ("$@", after two arguments) and stops it when no test has used it for a while.
#   $1  how many seconds without a user are a while
# Runs in the cluster's folder. Every test process holds a shared lock on users.lock; whoever gets it alone
# knows that there is none. It stays locked while the server stops, so that a new user waits and starts anew.
idle_limit=$1
shift
exec 3<server.lock 4<users.lock
flock -n 3 || { echo "watch: a server runs already"; exit 75; }
echo $$ >watch.pid
"$@" 4<&- &
server=$!
trap 'kill -INT $server 2>/dev/null' INT TERM HUP
idle=0
while kill -0 $server 2>/dev/null; do
  # In the background, so that a signal's trap runs at once.
  sleep 1 4<&- &
  wait $!
  if flock -n -x 4; then
    idle=$((idle + 1))
    [ "$idle" -ge "$idle_limit" ] && break
    flock -u 4
  else
    idle=0
  fi
done
kill -INT $server 2>/dev/null
wait $server
rm -f watch.pid
