"""Problems as questions and sentences, the unit of sentence-level reasoning."""

from workbench.sampling.task import AnswerLead, Problem, Task, WrittenSteps, open_task

ANSWER_MARK = "###"


def chain_sentences(task: Task, problem: Problem) -> tuple[str, ...]:
    """Return the written steps of a problem, the last one holding the answer.

    Steps that already end in the answer (the task says so by `sentences`, or the last step
    carries the mark) are kept; otherwise `### ANSWER` is added.

    Source: Pred-Sent, arXiv:2505.22202, data files.
    """
    if isinstance(task, WrittenSteps):
        return task.sentences(problem)
    if problem.steps and problem.steps[-1].startswith(ANSWER_MARK):
        return problem.steps
    return (*problem.steps, f"{ANSWER_MARK} {problem.answer}")


def answer_lead(address: str) -> str:
    """Return the words that introduce an answer in a task, ready to stand after its prompt.

    A task names its own as `answer_lead`. Plain text is continued after a blank.
    """
    task = open_task(address)
    lead = task.answer_lead if isinstance(task, AnswerLead) else "The answer is"
    return lead if task.is_chat else f" {lead}"
